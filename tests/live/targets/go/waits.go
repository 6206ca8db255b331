// Timers as Go makes them: for a while, and until a time of the wall clock.
package main

import (
	"context"
	"fmt"
	"time"
)

const length = 300 * time.Millisecond

func measure(name string, wait func()) {
	end := time.Now().Add(length)
	wait()
	fmt.Println(name, time.Since(end).Microseconds())
}

func main() {
	for {
		measure("after", func() { <-time.After(length) })
		measure("sleep", func() { time.Sleep(length) })
		measure("deadline", func() {
			ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(length))
			defer cancel()
			<-ctx.Done()
		})
	}
}
