// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

// ImageStatus describes an image; the answer is empty when it is not there.
func (s *Service) ImageStatus(ctx context.Context, r *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	handler := r.GetImage().GetRuntimeHandler()
	if err := s.checkHandler(handler); err != nil {
		return nil, failed(err)
	}
	img, err := s.images.ResolveFor(ctx, r.GetImage().GetImage(), handler)
	if errdefs.IsNotFound(err) {
		return &cri.ImageStatusResponse{}, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	response := &cri.ImageStatusResponse{Image: translate(img)}
	if r.GetVerbose() {
		response.Info, err = verbose(img)
	}
	if err != nil {
		return nil, failed(err)
	}
	return response, nil
}

// verbose is what containerd tells in the info of an image: "crictl inspecti" shows it.
func verbose(img *image.Image) (map[string]string, error) {
	info, err := json.Marshal(struct {
		ChainID   string        `json:"chainID"`
		ImageSpec ocispec.Image `json:"imageSpec"`
	}{identity.ChainID(img.Config.RootFS.DiffIDs).String(), img.Config})
	if err != nil {
		return nil, fmt.Errorf("info of image %s: %w", img.ID, err)
	}
	return map[string]string{"info": string(info)}, nil
}
