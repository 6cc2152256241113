// SPDX-License-Identifier: Apache-2.0

package criimage

import (
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/image"
)

// translate describes an image in CRI's terms. Spec is there only for an image of another
// platform than the node's, which belongs to a runtime handler.
func translate(img *image.Image) *cri.Image {
	t := &cri.Image{
		Id: img.ID, RepoTags: img.Tags, RepoDigests: img.Digests, Size: uint64(max(img.Size, 1)), Pinned: img.Pinned,
	}
	t.Uid, t.Username = user(img.Config.Config.User)
	if img.RuntimeHandler != "" {
		t.Spec = &cri.ImageSpec{Image: img.ID, RuntimeHandler: img.RuntimeHandler}
	}
	return t
}

// user splits the User of an image's config, USER[:GROUP], into one of uid and name. Both are empty
// for an image without.
func user(configured string) (*cri.Int64Value, string) {
	name, _, _ := strings.Cut(configured, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return nil, name
	}
	return &cri.Int64Value{Value: uid}, ""
}
