// SPDX-License-Identifier: Apache-2.0

package tinyimage

import (
	_ "embed"
	"fmt"

	"github.com/containerd/errdefs"
)

//go:generate ./program/build.sh amd64
//go:generate ./program/build.sh arm64

//go:embed program/tiny_amd64
var programAMD64 []byte

//go:embed program/tiny_arm64
var programARM64 []byte

// Program returns the ELF executable for a GOARCH: amd64 or arm64. The caller
// must not change the bytes.
func Program(arch string) ([]byte, error) {
	switch arch {
	case "amd64":
		return programAMD64, nil
	case "arm64":
		return programARM64, nil
	}
	return nil, fmt.Errorf("no embedded program for %s (amd64 and arm64 exist), name an image of your own: %w", arch, errdefs.ErrNotImplemented)
}
