// What watch.c does, in Go: time.Now through the vDSO, and system calls. One thread.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"
)

const tolerance = 5000000

type span struct{ low, high, began, ended, count int64 }

type way struct {
	name string
	read func() int64
	span span
}

func clock(id uintptr) int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0)
	return t.Sec*1000000000 + t.Nsec
}

func monotonic() int64 { return clock(1) }

func (w *way) print() {
	fmt.Printf("span 0 %s %d %d %d %d %d\n", w.name, w.span.low, w.span.high, w.span.began, w.span.ended, w.span.count)
}

func (w *way) take(wallAtZero int64) {
	before := monotonic()
	reading := w.read()
	after := monotonic()
	low, high := reading-after-wallAtZero-tolerance, reading-before-wallAtZero+tolerance
	s := &w.span
	if s.count > 0 && low <= s.high && high >= s.low {
		s.low, s.high, s.ended = max(s.low, low), min(s.high, high), before
		s.count++
		return
	}
	if s.count > 0 {
		w.print()
	}
	*s = span{low, high, after, before, 1}
}

func max(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func main() {
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGTERM)
	lap := make(chan os.Signal, 1)
	signal.Notify(lap, syscall.SIGUSR1)
	ways := []*way{
		{name: "time.Now", read: func() int64 { return time.Now().UnixNano() }},
		{name: "sys_clock_gettime", read: func() int64 { return clock(0) }},
	}
	best, wallAtZero := int64(1<<62), int64(0)
	for i := 0; i < 200; i++ {
		before := monotonic()
		wall := time.Now().UnixNano()
		if gap := monotonic() - before; gap < best {
			best, wallAtZero = gap, wall-before-gap/2
		}
	}
	takeAll := func() {
		for _, w := range ways {
			w.take(wallAtZero)
		}
	}
	fmt.Println("ready")
	for {
		select {
		case <-over:
			for _, w := range ways {
				w.print()
			}
			return
		case <-lap:
			takeAll()
			fmt.Println("lap")
		default:
			takeAll()
			time.Sleep(time.Millisecond)
		}
	}
}
