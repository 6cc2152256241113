// SPDX-License-Identifier: Apache-2.0

package e2e

// Launch starts the daemon on its directories and does not wait until it serves: it may be
// killed while it comes up.
func (d *Daemon) Launch() {
	d.t.Helper()
	if err := d.launch(); err != nil {
		d.t.Fatal(err)
	}
}

// Serving waits until a daemon that was launched accepts connections.
func (d *Daemon) Serving() {
	d.t.Helper()
	if err := d.waitServing(); err != nil {
		d.t.Fatal(err)
	}
}

// SetProgram has another program run from the next start on: a name like WithProgram's, or an absolute path.
func (d *Daemon) SetProgram(program string) { d.settings.program = program }

// Baseline has the running daemon, with no container, be what the daemon at the end of the test is compared with. It is
// for a test whose last daemon is not the program of the first.
func (d *Daemon) Baseline() {
	d.t.Helper()
	d.baseline()
}
