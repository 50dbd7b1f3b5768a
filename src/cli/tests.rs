//! How commands end: failures, statuses, and what is asked.
