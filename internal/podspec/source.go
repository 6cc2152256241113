// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"errors"
	"io/fs"
	"path"
)

// source follows the links in a host path. What does not exist becomes a directory, as it
// always has for a volume of the host: Prepare makes it.
func (t *translation) source(field, hostPath string) (string, error) {
	clean := path.Clean(hostPath)
	for existing, missing := clean, ""; ; {
		resolved, err := t.host.Resolve(existing)
		if err == nil && missing == "" {
			return resolved, nil
		}
		if err == nil {
			made := path.Join(resolved, missing)
			t.result.Directories = append(t.result.Directories, made)
			return made, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || existing == "/" {
			return "", unready("%s: host_path %q: %v", field, hostPath, err)
		}
		missing = path.Join(path.Base(existing), missing)
		existing = path.Dir(existing)
	}
}
