// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

// ListImages returns the images that the filter lets pass: all of them, or the one that it names.
func (s *Service) ListImages(ctx context.Context, r *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	list, err := s.list(ctx, r.GetFilter())
	if err != nil {
		return nil, failed(err)
	}
	return &cri.ListImagesResponse{Images: list}, nil
}

// batch is how many images a message of StreamImages has: far below gRPC's limit, even with
// long names.
const batch = 200

// StreamImages is ListImages in several messages.
func (s *Service) StreamImages(r *cri.StreamImagesRequest, stream grpc.ServerStreamingServer[cri.StreamImagesResponse]) error {
	list, err := s.list(stream.Context(), r.GetFilter())
	if err != nil {
		return failed(err)
	}
	for part := range slices.Chunk(list, batch) {
		if err := stream.Send(&cri.StreamImagesResponse{Images: part}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) list(ctx context.Context, filter *cri.ImageFilter) ([]*cri.Image, error) {
	list, err := s.filtered(ctx, filter)
	if err != nil {
		return nil, err
	}
	translated := make([]*cri.Image, len(list))
	for n, img := range list {
		translated[n] = translate(img)
	}
	return translated, nil
}

func (s *Service) filtered(ctx context.Context, filter *cri.ImageFilter) ([]*image.Image, error) {
	ref := filter.GetImage().GetImage()
	if ref == "" {
		return s.images.List(ctx)
	}
	img, err := s.images.ResolveFor(ctx, ref, filter.GetImage().GetRuntimeHandler())
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*image.Image{img}, nil
}
