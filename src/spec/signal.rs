//! Signals by name and number, as Linux numbers them on x86-64 and aarch64.

use std::fmt;

/// A signal a process may be sent or may die of (1 to 64; signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];

impl Signal {
    /// Hang-up, by custom a request to read the configuration again.
    pub const HUP: Signal = Signal(1);
    /// Interrupt, what Ctrl-C sends.
    pub const INT: Signal = Signal(2);
    /// Quit, what Ctrl-\ sends.
    pub const QUIT: Signal = Signal(3);
    /// Abort; what a missed watchdog is answered with.
    pub const ABRT: Signal = Signal(6);
    /// Kill; cannot be caught.
    pub const KILL: Signal = Signal(9);
    /// First user-defined signal.
    pub const USR1: Signal = Signal(10);
    /// Second user-defined signal.
    pub const USR2: Signal = Signal(12);
    /// A write to a pipe nobody reads.
    pub const PIPE: Signal = Signal(13);
    /// The polite request to end.
    pub const TERM: Signal = Signal(15);
    /// Continue a stopped process.
    pub const CONT: Signal = Signal(18);

    /// The signal with this number, if there is one (1 to 64).
    pub fn from_number(number: i32) -> Option<Signal> {
        u8::try_from(number).ok().filter(|n| (1..=64).contains(n)).map(Signal)
    }

    /// The signal with this name: `TERM`, `SIGTERM`, any case, `RTMIN+3`, or the digits of its number.
    pub fn from_name(name: &str) -> Option<Signal> {
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(number) = short.parse::<i32>() {
            return Signal::from_number(number);
        }
        if let Some(offset) = short.strip_prefix("RTMIN+") {
            return offset
                .parse::<i32>()
                .ok()
                .filter(|o| (0..=30).contains(o))
                .and_then(|o| Signal::from_number(34 + o));
        }
        match short {
            "" => None,
            "RTMIN" => Some(Signal(34)),
            "RTMAX" => Some(Signal(64)),
            "POLL" => Some(Signal(29)),
            "IOT" => Some(Signal(6)),
            _ => NAMES.iter().position(|n| *n == short).and_then(|n| u8::try_from(n).ok()).map(Signal),
        }
    }

    /// Its number, as kill(2) takes it.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// The names a person may write, for messages that offer the nearest one.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().copied().filter(|n| !n.is_empty())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)).filter(|n| !n.is_empty()) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= 34 => write!(f, "SIGRTMIN+{}", self.0 - 34),
            // 32 and 33 are the C library's own and have no name.
            None => write!(f, "SIG{}", self.0),
        }
    }
}

impl serde::Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Signal::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is not a signal")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_reads_its_own_name_back() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(Signal::from_name(&signal.to_string()), Some(signal), "{signal}");
            assert_eq!(Signal::from_name(&number.to_string()), Some(signal));
        }
    }

    #[test]
    fn a_name_may_have_its_prefix_and_any_case_and_nothing_else_is_one() {
        for name in ["TERM", "SIGTERM", "term", " SigTerm ", "15"] {
            assert_eq!(Signal::from_name(name), Some(Signal::TERM), "{name}");
        }
        assert_eq!(Signal::from_name("RTMIN+3").map(Signal::number), Some(37));
        for name in ["", "SIG", "0", "65", "-1", "RTMIN+31", "TERMINATE"] {
            assert_eq!(Signal::from_name(name), None, "{name}");
        }
    }
}
