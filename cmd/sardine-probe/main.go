// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sardine-run/sardine/internal/probe"
)

const differences = `
Sardine answers this command itself, without starting the program. As a program it differs in this:
volume:NAME is known only of volumes that are no file system of their own (not emptyDir in memory, CSI,
secrets), alive looks at process 1 and does not see that it is frozen, PATH is below the root of the
container, whatever the main process has changed its own to.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if _, err := probe.Parse(args); errors.Is(err, probe.ErrHelp) {
		fmt.Fprint(stdout, probe.Usage, differences)
		return probe.Misuse
	}
	done, err := (&probe.Prober{}).Run(context.Background(), self{}, append([]string{probe.Name}, args...))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return probe.Failure
	}
	_, _ = stdout.Write(done.Stdout)
	_, _ = stderr.Write(done.Stderr)
	return done.ExitCode
}
