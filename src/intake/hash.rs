//! The hash of a file's bytes as they were read, computed beside the reading.
//!
//! The bytes that pass by the reader are the ones that count: were the file hashed by a reading of
//! its own, a change in between could be in one and not in the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Bytes that are handed over at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces that may wait to be hashed.
const PIECES_MAX: usize = 4;

/// A file that is read, and hashed as far as it is read in order; `finish` hashes the rest.
pub struct Hashed<'a> {
    file: &'a File,
    at: u64,
    /// Everything before this is with the hasher.
    hashed_to: u64,
    piece: Vec<u8>,
    hasher: Hasher,
}

impl<'a> Hashed<'a> {
    pub fn new(file: &'a File) -> Hashed<'a> {
        Hashed {
            file,
            at: 0,
            hashed_to: 0,
            piece: Vec::with_capacity(PIECE_BYTES),
            hasher: Hasher::start(),
        }
    }

    /// The hash of the whole file.
    pub fn finish(mut self) -> io::Result<[u8; 32]> {
        self.seek(SeekFrom::Start(self.hashed_to))?;
        let mut buffer = vec![0; 64 << 10];
        while self.read(&mut buffer)? > 0 {}
        self.hand_over();
        Ok(self.hasher.finish())
    }

    fn note(&mut self, bytes: &[u8]) {
        // What was passed over, or is read again, is not next.
        let skip = match self.hashed_to.checked_sub(self.at) {
            Some(skip) if skip < bytes.len() as u64 => skip as usize,
            _ => return,
        };
        let new = &bytes[skip..];
        self.hashed_to += new.len() as u64;
        self.piece.extend_from_slice(new);
        if self.piece.len() >= PIECE_BYTES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let empty = self.hasher.empty_piece();
        let piece = std::mem::replace(&mut self.piece, empty);
        self.hasher.take(piece);
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.note(&buffer[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Hashed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// A thread that hashes pieces in order.
struct Hasher {
    give: Option<SyncSender<Vec<u8>>>,
    back: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<[u8; 32]>>,
}

impl Hasher {
    fn start() -> Hasher {
        let (give, given) = sync_channel(PIECES_MAX);
        let (return_empty, back) = channel();
        let thread = std::thread::Builder::new()
            .name("hash".into())
            .spawn(move || hash(&given, &return_empty))
            .expect("the system starts a thread");
        Hasher {
            give: Some(give),
            back,
            thread: Some(thread),
        }
    }

    fn empty_piece(&self) -> Vec<u8> {
        (self.back.try_recv()).unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES))
    }

    fn take(&self, piece: Vec<u8>) {
        let give = self.give.as_ref().expect("only finish takes it");
        give.send(piece).expect("the thread lives until finish");
    }

    fn finish(mut self) -> [u8; 32] {
        self.give = None;
        let thread = self.thread.take().expect("only finish takes it");
        thread.join().expect("hashing cannot fail")
    }
}

fn hash(given: &Receiver<Vec<u8>>, back: &Sender<Vec<u8>>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    while let Ok(mut piece) = given.recv() {
        hasher.update(&piece);
        piece.clear();
        // At the end nobody wants it back.
        let _ = back.send(piece);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[track_caller]
    fn check(read: impl FnOnce(&mut Hashed<'_>)) {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut hashed = Hashed::new(&file);
        read(&mut hashed);
        assert_eq!(hashed.finish().unwrap(), *blake3::hash(&bytes).as_bytes());
    }

    #[test]
    fn the_whole_file_is_hashed_however_it_is_read() {
        check(|_| {});
        check(|hashed| assert_eq!(io::copy(hashed, &mut io::sink()).unwrap(), 3_000_000));
        check(|hashed| {
            let mut head = [0; 1000];
            hashed.read_exact(&mut head).unwrap();
            hashed.seek(SeekFrom::Start(0)).unwrap();
            io::copy(&mut hashed.take(1_500_000), &mut io::sink()).unwrap();
        });
        check(|hashed| {
            hashed.seek(SeekFrom::End(-100)).unwrap();
            let mut tail = Vec::new();
            hashed.read_to_end(&mut tail).unwrap();
            assert_eq!(tail.len(), 100);
            hashed.seek(SeekFrom::Start(10)).unwrap();
            hashed.read_exact(&mut [0; 10]).unwrap();
        });
    }
}
