// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// Errors of a pull, beside their errdefs class.
var (
	// ErrRegistryUnavailable: no answer from the registry, or one that says to try again.
	ErrRegistryUnavailable = errors.New("registry unavailable")
	// ErrRefused: an image verifier did not let the image pass.
	ErrRefused = errors.New("image refused by verifier")
)

// classify gives an error of a pull its class. What containerd's packages return has one
// only sometimes.
func classify(err error) error {
	if status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok {
		return classifyStatus(err, status.StatusCode)
	}
	_, network := errors.AsType[net.Error](err)
	_, request := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(err, ErrRefused), errors.Is(err, errStalled):
		return err
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return fmt.Errorf("%w: %w", err, errdefs.ErrUnauthenticated)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !request:
		return err
	case network, request:
		return fmt.Errorf("%w: %w: %w", ErrRegistryUnavailable, err, errdefs.ErrUnavailable)
	}
	return err
}

func classifyStatus(err error, status int) error {
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", err, errdefs.ErrUnauthenticated)
	case status == http.StatusForbidden:
		return fmt.Errorf("%w: %w", err, errdefs.ErrPermissionDenied)
	case status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return fmt.Errorf("%w: %w: %w", ErrRegistryUnavailable, err, errdefs.ErrUnavailable)
	}
	return err
}
