// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/sardine-run/sardine/internal/image"
)

// Service is CRI's ImageService.
type Service struct {
	cri.UnimplementedImageServiceServer
	images *image.Images
	known  func(handler string) bool
}

var _ cri.ImageServiceServer = (*Service)(nil)

// New serves images. known tells whether there is a runtime handler of that name, which is
// not ""; nil knows every name.
func New(images *image.Images, known func(handler string) bool) *Service {
	if known == nil {
		known = func(string) bool { return true }
	}
	return &Service{images: images, known: known}
}

// checkHandler refuses what CRI asks to refuse: a handler that does not exist.
func (s *Service) checkHandler(handler string) error {
	if handler != "" && !s.known(handler) {
		return fmt.Errorf("runtime handler %q is not configured: %w", handler, errdefs.ErrInvalidArgument)
	}
	return nil
}

// failed turns an error into a gRPC status. The kubelet knows some errors by how their
// text begins: k8s.io/cri-api/pkg/errors.
func failed(err error) error {
	switch {
	case errors.Is(err, image.ErrRegistryUnavailable):
		err = fmt.Errorf("%w: %w", crierrors.ErrRegistryUnavailable, err)
	case errors.Is(err, image.ErrRefused):
		err = fmt.Errorf("%w: %w", crierrors.ErrSignatureValidationFailed, err)
	}
	return errgrpc.ToGRPC(err)
}
