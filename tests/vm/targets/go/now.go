// Reads the wall clock once and prints it.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println("now go", time.Now().UnixNano())
}
