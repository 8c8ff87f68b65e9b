//! HTTP/2 by hand, for clients that no library would be.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::DEADLINE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of a call, without compression.
pub fn call_headers(method: &str) -> Vec<u8> {
    // POST and http of the static table, then a path and an authority of ours.
    let mut block = vec![0x83, 0x86];
    let mut named = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    named(&[0x04], method);
    named(&[0x01], "localhost");
    named(b"\x00\x0ccontent-type", "application/grpc");
    named(b"\x00\x02te", "trailers");
    block
}

/// A connection that has said hello.
pub struct Raw(UnixStream);

impl Raw {
    pub fn connect(socket: &Path) -> Raw {
        let mut raw = Raw::silent(socket);
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
        raw
    }

    /// One that has said nothing yet.
    pub fn silent(socket: &Path) -> Raw {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Raw(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// The next frame: kind, flags, stream, payload. Nothing when the server has closed.
    pub fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return None,
            Err(error) => panic!("{error}"),
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        match self.0.read_exact(&mut payload) {
            Ok(()) => Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)),
            Err(error) if is_end(&error) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads until the server has ended this stream, or everything.
    pub fn until_end_of(&mut self, stream: u32) {
        while let Some((kind, flags, of, _)) = self.next() {
            let ends = kind == RESET || (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
            if kind == GOAWAY || (of == stream && ends) {
                return;
            }
        }
    }

    /// Reads until the server closes.
    pub fn until_closed(&mut self) {
        while self.next().is_some() {}
    }

    /// Sends this so often, reading what comes meanwhile, until it is done or the server has had enough. Returns how
    /// often it was sent.
    pub fn flood(&mut self, times: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> u32 {
        let mut reader = self.0.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while reader.read(&mut chunk).is_ok_and(|read| read > 0) {}
        });
        let sent = (0..times).take_while(|n| self.0.write_all(&bytes(*n)).is_ok()).count();
        let _ = self.0.shutdown(std::net::Shutdown::Both);
        reading.join().unwrap();
        u32::try_from(sent).unwrap()
    }

    /// Sends this until the server does not take any more, without reading a byte. Returns how many bytes it took.
    pub fn cram(&mut self, most: usize, bytes: &[u8]) -> usize {
        self.0.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut taken = 0;
        while taken < most {
            match self.0.write(bytes) {
                Ok(0) => break,
                Ok(written) => taken += written,
                Err(_) => break,
            }
        }
        taken
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
