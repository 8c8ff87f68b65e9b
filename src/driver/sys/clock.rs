//! The clock as the people of this place read it.

use std::mem::MaybeUninit;

/// By how many seconds local time is ahead of UTC at this moment (seconds since 1970), as the environment's TZ or the host
/// says; 0 when nobody knows.
pub fn utc_offset(at: i64) -> i64 {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values of ours, of which the second is filled in unless null is returned.
    let filled = unsafe { !libc::localtime_r(&at, parts.as_mut_ptr()).is_null() };
    // SAFETY: zeroes are a valid `tm`, and it is filled in.
    if filled { unsafe { parts.assume_init() }.tm_gmtoff } else { 0 }
}
