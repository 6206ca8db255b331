// Prints the wall clock and the monotonic clock as Go's runtime reads them (its own vDSO calls).
package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// Go hides its monotonic reading: the kernel's at the start, plus what Go says has passed.
func monotonic() int64 {
	var t syscall.Timespec
	const clockMonotonic = 1
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

func main() {
	base, start := monotonic(), time.Now()
	for {
		mono := base + int64(time.Since(start))
		rt := time.Now().UnixNano()
		fmt.Printf("rt %d.%09d mono %d.%09d\n", rt/1e9, rt%1e9, mono/1e9, mono%1e9)
		time.Sleep(20 * time.Millisecond)
	}
}
