// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// touch sets a file's time to now, again and again, until its life is over, which is never for 0, or SIGUSR1 comes. It pauses while
// there is a file of the same name with ".stop" behind. Afterwards the program goes on without touching, until SIGTERM.
func touch(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("a path and two durations, not %q", args)
	}
	path := args[0]
	every, errEvery := time.ParseDuration(args[1])
	life, errLife := time.ParseDuration(args[2])
	if errEvery != nil || errLife != nil || every <= 0 {
		return fmt.Errorf("a path and two durations, not %q", args)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGUSR1)
	end := ended()
	var over <-chan time.Time
	if life > 0 {
		over = time.After(life)
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		if err := touchOnce(path); err != nil {
			return err
		}
		select {
		case <-ticks.C:
			continue
		case <-end:
			return nil
		case <-stop:
		case <-over:
		}
		<-end
		return nil
	}
}

func touchOnce(path string) error {
	if _, err := os.Stat(path + ".stop"); err == nil {
		return nil
	}
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if os.IsNotExist(err) {
		err = os.WriteFile(path, nil, 0o644)
	}
	return err
}
