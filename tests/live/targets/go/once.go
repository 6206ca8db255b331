// once_go: reads the clocks as its first act, prints "rt S.N mono S.N" and exits.
package main

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	var mono syscall.Timespec
	const clockMonotonic = 1
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&mono)), 0)
	rt := time.Now().UnixNano()
	fmt.Printf("rt %d.%09d mono %d.%09d\n", rt/1e9, rt%1e9, mono.Nano()/1e9, mono.Nano()%1e9)
}
