// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"errors"

	"github.com/coreos/go-iptables/iptables"
)

// IsNotExist tells whether a program failed because the rule or chain it was to delete is not there.
func IsNotExist(err error) bool {
	var e *iptables.Error
	return errors.As(err, &e) && e.IsNotExist()
}

// Status is with what a program exited, and -1 when err is something else.
func Status(err error) int {
	var e *iptables.Error
	if errors.As(err, &e) {
		return e.ExitStatus()
	}
	return -1
}
