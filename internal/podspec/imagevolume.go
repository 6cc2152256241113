// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ImageVolumes are the volumes an image defines and the request does not replace, as
// clean absolute paths, sorted. For each of them Container.Volumes has to name a directory
// with a copy of what the image has there.
func ImageVolumes(n *Node, cfg *runtime.ContainerConfig, image *ocispec.Image) []string {
	if n.IgnoreImageVolumes || image == nil || len(image.Config.Volumes) == 0 {
		return nil
	}
	taken := make(map[string]bool, len(cfg.GetMounts()))
	for _, m := range cfg.GetMounts() {
		taken[path.Clean(m.GetContainerPath())] = true
	}
	var volumes []string
	for v := range image.Config.Volumes {
		// Some images have relative ones, which mean below the root.
		if clean := path.Clean("/" + v); !taken[clean] {
			volumes = append(volumes, clean)
		}
	}
	slices.Sort(volumes)
	return slices.Compact(volumes)
}
