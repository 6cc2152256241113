// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
)

// failure is what the client sees, and what it came from.
type failure struct {
	seen  *types.Error
	cause error
}

func (f *failure) Error() string { return f.seen.Error() }

func (f *failure) Unwrap() []error { return []error{f.seen, f.cause} }

// failed makes an error with a code of the CNI specification.
func failed(code uint, message string, cause error) error {
	return &failure{types.NewError(code, message, cause.Error()), cause}
}

// unusable is the failure to work in a network's directory. One that already has a code keeps it.
func unusable(path string, err error) error {
	var coded *types.Error
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failed(types.ErrTryAgainLater, "waited for the addresses in "+path, err)
	}
	return failed(types.ErrIOFailure, "addresses in "+path, err)
}

func invalid(message string) error { return types.NewError(types.ErrInvalidNetworkConfig, message, "") }

// refused is a call that cannot be done, as opposed to one that failed. The reference plugin has no other code for it.
func refused(format string, args ...any) error {
	return types.NewError(types.ErrInternal, fmt.Sprintf(format, args...), "")
}

// codeOf tells what is no JSON from what is no configuration.
func codeOf(err error) uint {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var address *net.ParseError
	if (errors.As(err, &syntax) || errors.As(err, &kind)) && !errors.As(err, &address) {
		return types.ErrDecodingFailure
	}
	return types.ErrInvalidNetworkConfig
}
