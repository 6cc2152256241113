// SPDX-License-Identifier: Apache-2.0

package tinyimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Name is the reference the image is imported under. Nothing is published
// there: localhost is where it comes from.
const Name = "localhost/sardine/tiny:1"

// nameAnnotation is read by containerd's importer as the full image name;
// the OCI one (ref.name) is only a tag by the image layout spec.
const nameAnnotation = "io.containerd.image.name"

// modes are the names of the program in the image's /bin.
var modes = []string{"true", "false", "exit", "echo", "sleep", "wait", "talk"}

// Image is an OCI image of one layer. The same architecture always gives the
// same bytes, hence the same digests.
type Image struct {
	index v1.Index
	blobs []blob
}

type blob struct {
	digest digest.Digest
	data   []byte
}

// New builds the image for a GOARCH.
func New(arch string) (*Image, error) {
	program, err := Program(arch)
	if err != nil {
		return nil, err
	}
	layer, err := layerTar(program)
	if err != nil {
		return nil, fmt.Errorf("tiny image layer: %w", err)
	}
	img := &Image{}
	layerDesc := img.add(v1.MediaTypeImageLayer, layer)
	config, err := img.addJSON(v1.MediaTypeImageConfig, imageConfig(arch, layerDesc.Digest))
	if err != nil {
		return nil, err
	}
	manifest, err := img.addJSON(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    config,
		Layers:    []v1.Descriptor{layerDesc},
	})
	if err != nil {
		return nil, err
	}
	manifest.Platform = &v1.Platform{OS: "linux", Architecture: arch}
	manifest.Annotations = map[string]string{nameAnnotation: Name, v1.AnnotationRefName: "1"}
	img.index = v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	}
	return img, nil
}

// WriteArchive writes the image as a tar of an OCI image layout (image-spec,
// image-layout.md), the form `ctr images import` takes.
func (i *Image) WriteArchive(w io.Writer) error {
	index, err := json.Marshal(i.index)
	if err != nil {
		return fmt.Errorf("encode index of %s: %w", Name, err)
	}
	tw := tar.NewWriter(w)
	layout := fmt.Appendf(nil, `{"imageLayoutVersion":%q}`, v1.ImageLayoutVersion)
	if err := writeFile(tw, v1.ImageLayoutFile, 0o444, layout); err != nil {
		return err
	}
	for _, b := range i.blobs {
		path := v1.ImageBlobsDir + "/" + b.digest.Algorithm().String() + "/" + b.digest.Encoded()
		if err := writeFile(tw, path, 0o444, b.data); err != nil {
			return err
		}
	}
	if err := writeFile(tw, v1.ImageIndexFile, 0o444, index); err != nil {
		return err
	}
	return tw.Close()
}

// Archive is WriteArchive into memory: about 15 KB.
func (i *Image) Archive() ([]byte, error) {
	var b bytes.Buffer
	err := i.WriteArchive(&b)
	return b.Bytes(), err
}

func (i *Image) add(mediaType string, data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	i.blobs = append(i.blobs, blob{digest: d, data: data})
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (i *Image) addJSON(mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("encode %s of %s: %w", mediaType, Name, err)
	}
	return i.add(mediaType, data), nil
}

func imageConfig(arch string, diffID digest.Digest) v1.Image {
	return v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: arch},
		Config: v1.ImageConfig{
			Env: []string{"PATH=/bin"},
			Cmd: []string{"wait"},
		},
		// The layer is not compressed, so its digest is its diff id.
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
	}
}

// layerTar holds the directories that container engines mount on, the program
// and its other names.
func layerTar(program []byte) ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, dir := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp"} {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: mode}); err != nil {
			return nil, err
		}
	}
	if err := writeFile(tw, "bin/tiny", 0o755, program); err != nil {
		return nil, err
	}
	for _, mode := range modes {
		link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + mode, Linkname: "tiny", Mode: 0o777}
		if err := tw.WriteHeader(link); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeFile(tw *tar.Writer, name string, mode int64, data []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}
	if err := tw.WriteHeader(header); err != nil {
		return fmt.Errorf("write header of %s: %w", name, err)
	}
	if _, err := tw.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
