// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/imgcrypt/v2"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// decrypting hands encrypted layers to the stream processors of the configuration, which
// find the keys on the node. Each layer has a payload of its own: layers are unpacked
// in parallel.
func decrypting(_ context.Context, desc ocispec.Descriptor, c *diff.ApplyConfig) error {
	payload, err := typeurl.MarshalAny(&imgcrypt.Payload{Descriptor: desc})
	if err != nil {
		return fmt.Errorf("decryption payload: %w", err)
	}
	if c.ProcessorPayloads == nil {
		c.ProcessorPayloads = make(map[string]typeurl.Any, len(imgcrypt.PayloadToolIDs))
	}
	for _, id := range imgcrypt.PayloadToolIDs {
		c.ProcessorPayloads[id] = payload
	}
	return nil
}

// applyOptions are those of every layer that is unpacked.
func (s *settings) applyOptions() []diff.ApplyOpt {
	options := []diff.ApplyOpt{diff.WithSyncFs(s.ImagePullWithSyncFs)}
	if s.ImageDecryption.KeyModel == keyModelNode {
		options = append(options, decrypting)
	}
	return options
}
