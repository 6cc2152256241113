// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"context"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

// ImageFsInfo tells what images and the writable layers of containers take on disk. The kubelet reads the
// first of each, and takes two different paths for two different disks. Its evictions go by the time of the
// first of images alone.
func (s *Service) ImageFsInfo(ctx context.Context, _ *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	usage, err := s.images.Usage(ctx)
	if err != nil {
		return nil, failed(err)
	}
	r := &cri.ImageFsInfoResponse{}
	for _, d := range usage.Images {
		r.ImageFilesystems = append(r.ImageFilesystems, filesystem(d, d.Dir))
	}
	for _, d := range usage.Containers {
		r.ContainerFilesystems = append(r.ContainerFilesystems, filesystem(d, sameDisk(d.Dir, usage.Images)))
	}
	return r, nil
}

func filesystem(d image.DiskUsage, path string) *cri.FilesystemUsage {
	return &cri.FilesystemUsage{
		Timestamp:  d.Time.UnixNano(),
		FsId:       &cri.FilesystemIdentifier{Mountpoint: path},
		UsedBytes:  &cri.UInt64Value{Value: uint64(max(d.Bytes, 0))},
		InodesUsed: &cri.UInt64Value{Value: uint64(max(d.Inodes, 0))},
	}
}

// sameDisk returns the directory of images that is on the same file system as dir, or dir.
func sameDisk(dir string, images []image.DiskUsage) string {
	var own, other unix.Stat_t
	if unix.Stat(dir, &own) != nil {
		return dir
	}
	for _, d := range images {
		if unix.Stat(d.Dir, &other) == nil && other.Dev == own.Dev {
			return d.Dir
		}
	}
	return dir
}
