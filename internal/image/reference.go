// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// maxReference bounds what is given to the parser: 255 bytes of name, 128 of tag and a digest
// fit many times.
const maxReference = 1024

// parseReference normalizes a reference as docker does: domain and tag are filled in, and the
// tag is dropped where there is a digest. ErrInvalidArgument.
func parseReference(ref string) (reference.Named, error) {
	if err := checkReference(ref); err != nil {
		return nil, err
	}
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w: %w", ref, err, errdefs.ErrInvalidArgument)
	}
	return named, nil
}

func checkReference(ref string) error {
	switch {
	case ref == "":
		return fmt.Errorf("image reference is empty: %w", errdefs.ErrInvalidArgument)
	case len(ref) > maxReference:
		return fmt.Errorf("image reference of %d bytes, at most %d are allowed: %w", len(ref), maxReference, errdefs.ErrInvalidArgument)
	}
	return nil
}

// minPrefix is the shortest beginning of an id, in hexadecimal digits. A shorter one would
// too easily be a name as well: "cafe".
const minPrefix = 6

// idPrefix returns ref as the beginning of an id, sha256:..., if it can be one.
func idPrefix(ref string) (string, bool) {
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) > digest.SHA256.Size()*2 || len(hex) < minPrefix || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", false
	}
	return "sha256:" + hex, true
}

// published returns the names under which a pulled image is stored beside its id, tag and
// digest as in containerd's CRI; tag is "" for a reference by digest.
func published(named reference.Named, target digest.Digest) (tag, canonical string) {
	if _, ok := named.(reference.Tagged); ok {
		tag = named.String()
	}
	if _, ok := named.(reference.Canonical); ok {
		return tag, named.String()
	}
	return tag, named.Name() + "@" + target.String()
}

// kindOf tells what a stored name is to CRI: a tag, a digest or, as an id and names of other
// clients' own making, nothing.
func kindOf(name string) (tagged, canonical bool) {
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return false, false
	}
	if _, ok := ref.(reference.Canonical); ok {
		return false, true
	}
	_, tagged = ref.(reference.Tagged)
	return tagged, false
}
