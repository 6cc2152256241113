// SPDX-License-Identifier: Apache-2.0

package cniplugin

import "github.com/sardine-run/sardine/internal/kernel"

// Beside calls f on a goroutine of its own. What it returns waits for f's end, is called once, and returns or panics as f did: a plugin's
// panic must not be the daemon's.
func Beside(f func() error) (wait func() error) {
	done := make(chan error, 1)
	var panicked *kernel.Panic
	go func() {
		var err error
		defer func() {
			panicked = kernel.Recovered(recover())
			done <- err
		}()
		err = f()
	}()
	return func() error {
		err := <-done
		if panicked != nil {
			panic(panicked)
		}
		return err
	}
}
