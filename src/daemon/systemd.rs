//! What systemd is told: READY, RELOADING, STOPPING, STATUS and the watchdog's beat.
//! Without `NOTIFY_SOCKET` each of these does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Tells that we live, and `status`, in one message.
pub fn beat() {
    tell(&[NotifyState::Watchdog]);
}

/// While it is not ready: systemd waits for it so much longer. Of one that is ready it means nothing.
pub fn starts_within(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Half of what systemd waits for a beat; `None`: it watches nothing.
pub fn beat_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|interval| interval / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    // Nothing to be done about a socket that is gone: systemd then restarts us by its watchdog.
    let _ = sd_notify::notify(states);
}
