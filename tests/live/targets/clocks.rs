// Prints the wall clock and the monotonic clock as Rust's standard library reads them.
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[repr(C)]
struct Timespec {
    sec: i64,
    nsec: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

// An Instant hides its value: the clock's at the start, plus what Instant says has passed.
fn monotonic() -> Duration {
    let mut time = Timespec { sec: 0, nsec: 0 };
    unsafe { clock_gettime(1, &mut time) };
    Duration::new(time.sec as u64, time.nsec as u32)
}

fn main() {
    let base = monotonic();
    let start = Instant::now();
    let mut out = std::io::stdout();
    loop {
        let mono = base + start.elapsed();
        let rt = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        writeln!(
            out,
            "rt {}.{:09} mono {}.{:09}",
            rt.as_secs(),
            rt.subsec_nanos(),
            mono.as_secs(),
            mono.subsec_nanos()
        )
        .unwrap();
        out.flush().unwrap();
        sleep(Duration::from_millis(20));
    }
}
