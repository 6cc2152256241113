// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// setNames sets the names of the calling thread's UTS namespace.
func setNames(host, domain string) error {
	if host != "" {
		if err := unix.Sethostname([]byte(host)); err != nil {
			return fmt.Errorf("sethostname %q: %w", host, err)
		}
	}
	if domain != "" {
		if err := unix.Setdomainname([]byte(domain)); err != nil {
			return fmt.Errorf("setdomainname %q: %w", domain, err)
		}
	}
	return nil
}

// writeSysctls sets parameters of the calling thread's namespaces: those are what a thread sees
// below /proc/sys.
func writeSysctls(values map[string]string) error {
	for key, value := range values {
		path, err := sysctlPath(key)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl %s=%q: %w", key, value, err)
		}
	}
	return nil
}

// sysctlPath is the file of a parameter: sysctl(8), with dots or slashes. Names of
// interfaces may have dots of their own in the form with slashes.
func sysctlPath(key string) (string, error) {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return "", fmt.Errorf("sysctl %q: not a parameter's name: %w", key, errdefs.ErrInvalidArgument)
		}
	}
	return "/proc/sys/" + key, nil
}
