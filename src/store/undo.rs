//! stub
use super::files::FileState;
use super::{Result, Store};
impl Store {
    pub fn take_back(
        &self,
        _file: i64,
        _state: FileState,
        _reason: Option<String>,
        _now: i64,
    ) -> Result<()> {
        todo!()
    }
}
