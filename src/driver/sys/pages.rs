//! Pages of our own program that are not needed at the moment.

use std::fs;

/// What is mapped of files, and can be read alone.
#[derive(Debug)]
pub struct CleanPages {
    ranges: Vec<(usize, usize)>,
}

impl CleanPages {
    /// Those of this process. Best effort: what cannot be known is left out. Not while another thread maps something.
    pub fn find() -> CleanPages {
        let text = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let (mut ranges, mut mapping) = (Vec::new(), None);
        for line in text.lines() {
            if let Some(range) = line.split(' ').next().and_then(range) {
                // Rights, offset, device, and the number of a file.
                let mut words = line.split_ascii_whitespace().skip(1);
                let readable = words.next().is_some_and(|rights| rights == "r-xp" || rights == "r--p");
                mapping = Some(range).filter(|_| readable && words.nth(2).is_some_and(|inode| inode != "0"));
            } else if line.strip_prefix("Anonymous:").is_some_and(|size| size.trim() == "0 kB") {
                // Those that have pages of their own were written to before they could be read alone: relocations.
                ranges.extend(mapping.take());
            }
        }
        CleanPages { ranges }
    }

    /// Gives them back: what is touched again comes from its file again, and in small parts. For a program that will wait
    /// for long. Needs no memory.
    pub fn give_back(&self) {
        for (from, to) in &self.ranges {
            // SAFETY: no page of this private mapping of a file differs from the file, and none can be written to: what is
            // dropped is read again when it is touched, with the same content.
            unsafe { libc::madvise(*from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        }
    }
}

/// `55e6de95c000-55e6df02f000`.
fn range(word: &str) -> Option<(usize, usize)> {
    let (from, to) = word.split_once('-')?;
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    Some((number(from)?, number(to)?)).filter(|(from, to)| from < to)
}

#[cfg(test)]
mod tests {
    use super::{CleanPages, range};

    #[test]
    fn a_program_goes_on_without_its_clean_pages() {
        static WORDS: [&str; 3] = ["constant", "relocated", "words"];
        let pages = CleanPages::find();
        assert!(!pages.ranges.is_empty());
        for _ in 0..3 {
            pages.give_back();
            assert_eq!(WORDS.join(" "), "constant relocated words");
        }
        assert_eq!(range("10-1f"), Some((0x10, 0x1f)));
        assert!(range("Rss:").is_none() && range("1f-10").is_none() && range("x-y").is_none());
    }
}
