// SPDX-License-Identifier: Apache-2.0

package tinyimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// untar returns the files of an archive by name.
func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[header.Name]; twice {
			t.Errorf("%s is in the archive twice", header.Name)
		}
		files[header.Name] = data
	}
}

// layout is an unpacked OCI image layout that checks what it hands out.
type layout struct {
	t     *testing.T
	files map[string][]byte
	used  []string
}

func (l *layout) blob(d v1.Descriptor) []byte {
	l.t.Helper()
	name := "blobs/sha256/" + d.Digest.Encoded()
	data, found := l.files[name]
	if !found {
		l.t.Fatalf("%s %s has no blob", d.MediaType, d.Digest)
	}
	if got := digest.FromBytes(data); got != d.Digest || int64(len(data)) != d.Size {
		l.t.Errorf("%s: blob is %s of %d bytes, descriptor says %s of %d", d.MediaType, got, len(data), d.Digest, d.Size)
	}
	l.used = append(l.used, name)
	return data
}

func (l *layout) decode(data []byte, into any) {
	l.t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		l.t.Fatal(err)
	}
}

func TestArchiveIsAValidLayout(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			img, err := New(arch)
			if err != nil {
				t.Fatal(err)
			}
			archive, err := img.Archive()
			if err != nil {
				t.Fatal(err)
			}
			l := &layout{t: t, files: untar(t, archive), used: []string{"oci-layout", "index.json"}}
			var version v1.ImageLayout
			l.decode(l.files["oci-layout"], &version)
			if version.Version != v1.ImageLayoutVersion {
				t.Errorf("layout version %q", version.Version)
			}
			var index v1.Index
			l.decode(l.files["index.json"], &index)
			if len(index.Manifests) != 1 {
				t.Fatalf("%d manifests", len(index.Manifests))
			}
			desc := index.Manifests[0]
			if desc.Platform == nil || desc.Platform.Architecture != arch || desc.Annotations[nameAnnotation] != Name {
				t.Errorf("manifest descriptor %+v", desc)
			}
			var manifest v1.Manifest
			l.decode(l.blob(desc), &manifest)
			var config v1.Image
			l.decode(l.blob(manifest.Config), &config)
			if config.Architecture != arch || config.OS != "linux" || len(config.RootFS.DiffIDs) != len(manifest.Layers) {
				t.Errorf("config %+v", config)
			}
			for i, layer := range manifest.Layers {
				if got := digest.FromBytes(l.blob(layer)); got != config.RootFS.DiffIDs[i] {
					t.Errorf("layer %d has diff id %s, config says %s", i, got, config.RootFS.DiffIDs[i])
				}
			}
			if len(l.used) != len(l.files) {
				t.Errorf("archive has %d files, the image uses %v", len(l.files), l.used)
			}
		})
	}
}

func TestLayerHasTheProgramUnderEachName(t *testing.T) {
	program, err := Program("amd64")
	if err != nil {
		t.Fatal(err)
	}
	layer, err := layerTar(program)
	if err != nil {
		t.Fatal(err)
	}
	links := make(map[string]string)
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeSymlink {
			links[header.Name] = header.Linkname
		}
	}
	for _, mode := range modes {
		if links["bin/"+mode] != "tiny" {
			t.Errorf("bin/%s links to %q", mode, links["bin/"+mode])
		}
	}
	if got := untar(t, layer)["bin/tiny"]; !bytes.Equal(got, program) {
		t.Error("bin/tiny is not the program")
	}
}

func TestSameBytesEachTime(t *testing.T) {
	archives := make([][]byte, 2)
	for i := range archives {
		img, err := New("arm64")
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = img.Archive(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(archives[0], archives[1]) {
		t.Error("two builds of the image differ")
	}
}

func TestUnknownArchitecture(t *testing.T) {
	if _, err := New("mips"); !errors.Is(err, errdefs.ErrNotImplemented) {
		t.Errorf("got %v", err)
	}
}
