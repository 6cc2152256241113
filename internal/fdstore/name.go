// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
)

// keyLength is the length of a key.
const keyLength = 12

// keyOf returns what a descriptor is kept under: the first letter of its name, which says what
// part of the daemon it is for, and a hash of the whole.
//
// systemd hands the names of all descriptors to a started daemon in one environment variable, one
// for each, and execve(2) takes no string above 128 KiB. With names that hold a container's id,
// a unit with the output of 1,000 containers in its store could not be started any more.
//
// Daemons of different versions must agree on it.
func keyOf(name string) (string, error) {
	if !holder.ValidName(name) || !strings.Contains(name, "/") {
		return "", fmt.Errorf("name of a stored descriptor %q: not a part of the daemon, a slash and printable characters without a colon: %w",
			name, errdefs.ErrInvalidArgument)
	}
	sum := sha256.Sum256([]byte(name))
	return name[:1] + base64.RawURLEncoding.EncodeToString(sum[:8]), nil
}

// isKey tells keys from the names of descriptors that a unit got otherwise.
func isKey(s string) bool {
	if len(s) != keyLength {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(s[1:])
	return err == nil
}
