// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// golden is one case of testdata/translate: what it adds to fixture_test.go's container, and
// by how much the spec then differs from testdata/default.json, as a merge patch (RFC 7386).
// Expectations were written by hand from CRI's api.proto and from what containerd 2.4 is
// documented or seen to do.
type golden struct {
	About         string
	Node          *Node // on top of testNode
	Handler       *Handler
	Pod           json.RawMessage // PodSandboxConfig
	Container     json.RawMessage // ContainerConfig
	Image         *ocispec.ImageConfig
	Passwd, Group string
	Namespaces    map[specs.LinuxNamespaceType]string // replace the pod's
	Target        string
	Volumes       map[string]string
	ImageMounts   map[string]string
	Shared, Slave []string // host paths whose mount is
	Missing       []string // host paths that do not exist
	Links         map[string]string

	Want        json.RawMessage
	Error       string // part of it, instead of Want
	StopSignal  string
	Directories []string
}

func TestGolden(t *testing.T) {
	list, err := filepath.Glob("testdata/translate/*.json")
	if err != nil || len(list) == 0 {
		t.Fatal(err, list)
	}
	for _, file := range list {
		for _, g := range readGolden(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json")+"/"+g.About, func(t *testing.T) { g.test(t) })
		}
	}
}

func readGolden(t *testing.T, file string) []*golden {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var list []*golden
	for _, r := range raw {
		g := &golden{Node: testNode(), StopSignal: "SIGTERM"}
		d := json.NewDecoder(strings.NewReader(string(r)))
		d.DisallowUnknownFields()
		if err := d.Decode(g); err != nil {
			t.Fatalf("%s: %v in %s", file, err, r)
		}
		list = append(list, g)
	}
	return list
}

func (g *golden) test(t *testing.T) {
	g.setHost()
	c := g.container(t)
	r, err := newTranslator(t, g.Node).Translate(c)
	if g.Error != "" {
		if err == nil || !strings.Contains(err.Error(), g.Error) {
			t.Fatalf("error %v, want %q", err, g.Error)
		}
		if !errdefs.IsInvalidArgument(err) && !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotImplemented(err) {
			t.Fatalf("%v has no class", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := object(t, mustRead(t, "testdata/default.json"))
	if g.Want != nil {
		want = merge(want, object(t, g.Want)).(map[string]any)
	}
	compare(t, "", comparable(t, r.Spec), want)
	if r.StopSignal != g.StopSignal {
		t.Errorf("stop signal %q, want %q", r.StopSignal, g.StopSignal)
	}
	if !reflect.DeepEqual(r.Directories, g.Directories) {
		t.Errorf("directories %q, want %q", r.Directories, g.Directories)
	}
}

func (g *golden) setHost() {
	h := &g.Node.Host
	h.Propagation = func(path string) (Propagation, error) {
		return Propagation{Mountpoint: "/", Shared: contains(g.Shared, path), Slave: contains(g.Slave, path)}, nil
	}
	h.Resolve = func(path string) (string, error) {
		if contains(g.Missing, path) {
			return "", &os.PathError{Op: "lstat", Path: path, Err: fs.ErrNotExist}
		}
		if target, ok := g.Links[path]; ok {
			return target, nil
		}
		return path, nil
	}
	h.Devices = func() ([]specs.LinuxDevice, error) {
		return []specs.LinuxDevice{{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}, {Path: "/dev/sda", Type: "b", Major: 8}}, nil
	}
	h.DevicesAt = func(path, containerPath string) ([]specs.LinuxDevice, error) {
		if containerPath == "" {
			containerPath = path
		}
		if path == "/dev/gone" {
			return nil, fs.ErrNotExist
		}
		return []specs.LinuxDevice{{Path: containerPath, Type: "c", Major: 10, Minor: int64(len(path))}}, nil
	}
	h.AppArmorLoaded = func(name string) (bool, error) { return name == "loaded", nil }
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func (g *golden) container(t *testing.T) *Container {
	t.Helper()
	c := testContainer()
	patch(t, c.Pod.Config, g.Pod)
	patch(t, c.Config, g.Container)
	if g.Image != nil {
		c.Image.Config = *g.Image
	}
	if g.Namespaces != nil {
		c.Pod.Namespaces = g.Namespaces
	}
	image := map[string]string{}
	if g.Passwd != "" {
		image["/etc/passwd"] = g.Passwd
	}
	if g.Group != "" {
		image["/etc/group"] = g.Group
	}
	c.ReadFile, c.Handler, c.TargetPID, c.Volumes, c.ImageMounts = files(image), g.Handler, g.Target, g.Volumes, g.ImageMounts
	c.Pod.UIDMappings, c.Pod.GIDMappings = IDMappings(c.Pod.Config)
	return c
}

// patch merges JSON into a message.
func patch(t *testing.T, m proto.Message, p json.RawMessage) {
	t.Helper()
	if p == nil {
		return
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err = json.Marshal(merge(object(t, b), object(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	proto.Reset(m)
	if err := protojson.Unmarshal(b, m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

// merge is MergePatch of RFC 7386.
func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
			continue
		}
		t[k] = merge(t[k], v)
	}
	return t
}

// comparable is a spec's JSON with its lists of mounts, namespaces and devices as objects, by
// destination, type and path, and the mounts' order beside them.
func comparable(t *testing.T, s *specs.Spec) map[string]any {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	o := object(t, b)
	mounts, order := map[string]any{}, []any{}
	for _, m := range o["mounts"].([]any) {
		mount := m.(map[string]any)
		order = append(order, mount["destination"])
		mounts[mount["destination"].(string)] = mount
		delete(mount, "destination")
	}
	o["mounts"], o["order"] = mounts, order
	linux := o["linux"].(map[string]any)
	namespaces := map[string]any{}
	for _, n := range s.Linux.Namespaces {
		namespaces[string(n.Type)] = n.Path
	}
	linux["namespaces"] = namespaces
	if list, ok := linux["devices"].([]any); ok {
		devices := map[string]any{}
		for _, d := range list {
			device := d.(map[string]any)
			devices[device["path"].(string)] = device
			delete(device, "path")
		}
		linux["devices"] = devices
	}
	if linux["seccomp"] != nil { // compared in seccomp_test.go
		linux["seccomp"] = true
	}
	return o
}

func object(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return o
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compare tells where two values differ.
func compare(t *testing.T, where string, got, want any) {
	t.Helper()
	g, okG := got.(map[string]any)
	w, okW := want.(map[string]any)
	if !okG || !okW {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", where, text(got), text(want))
		}
		return
	}
	for k := range g {
		if _, ok := w[k]; !ok {
			t.Errorf("%s/%s: unexpected %s", where, k, text(g[k]))
		}
	}
	for k := range w {
		if _, ok := g[k]; !ok {
			t.Errorf("%s/%s: missing, want %s", where, k, text(w[k]))
			continue
		}
		compare(t, where+"/"+k, g[k], w[k])
	}
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
