// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"context"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

// handlerAnnotation of a pod is how containerd was told the runtime handler before CRI had a field.
const handlerAnnotation = "io.containerd.cri.runtime-handler"

// PullImage pulls an image and returns its id.
func (s *Service) PullImage(ctx context.Context, r *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	handler := r.GetImage().GetRuntimeHandler()
	if handler == "" {
		handler = r.GetSandboxConfig().GetAnnotations()[handlerAnnotation]
	}
	if err := s.checkHandler(handler); err != nil {
		return nil, failed(err)
	}
	id, err := s.images.Pull(ctx, r.GetImage().GetImage(), image.PullOptions{Auth: login(r.GetAuth()), RuntimeHandler: handler})
	if err != nil {
		return nil, failed(err)
	}
	return &cri.PullImageResponse{ImageRef: id}, nil
}

func login(a *cri.AuthConfig) image.Auth {
	return image.Auth{
		Username: a.GetUsername(), Password: a.GetPassword(), Auth: a.GetAuth(),
		IdentityToken: a.GetIdentityToken(), RegistryToken: a.GetRegistryToken(), ServerAddress: a.GetServerAddress(),
	}
}

// RemoveImage removes an image with all its names. Layers in use stay until their last container is removed.
func (s *Service) RemoveImage(ctx context.Context, r *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	if err := s.images.Remove(ctx, r.GetImage().GetImage()); err != nil {
		return nil, failed(err)
	}
	return &cri.RemoveImageResponse{}, nil
}
