// SPDX-License-Identifier: Apache-2.0

package throwaway

// Crash ends the daemon with SIGKILL, whatever it is doing, and returns when it
// is gone. Its directory, its mounts and its containers stay.
func (d *Daemon) Crash() {
	_ = d.cmd.Process.Kill() // it may have ended by itself
	<-d.exited
}

// Restart starts the daemon again after Crash, on the same directory. It does
// not wait for it to answer. Network namespaces are those of the calling thread.
func (d *Daemon) Restart() error {
	d.exited = make(chan struct{})
	return d.run(d.cmd.Args[0], d.cmd.Args[1:], d.cmd.Env)
}
