// One of the demo's two targets: prints the time twice a second, for people and in seconds since 1970.
package main

import (
	"fmt"
	"time"
)

func main() {
	for {
		now := time.Now()
		fmt.Println(now.Format("15:04:05"), now.Unix())
		time.Sleep(500 * time.Millisecond)
	}
}
