// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"context"
	"fmt"
	"reflect"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// namespace is containerd's for everything of Kubernetes.
const namespace = "k8s.io"

// defaultSpec is what containerd starts from, without limits and security profiles:
// those come from the request alone. A base spec of the handler keeps its own.
func defaultSpec() (*specs.Spec, error) {
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: "none"}, oci.WithoutRunMount)
	if err != nil {
		return nil, fmt.Errorf("make the default runtime spec: %w", err)
	}
	s.Process.ApparmorProfile, s.Linux.Seccomp, s.Process.Rlimits = "", nil, nil
	return s, nil
}

// base is the spec a container starts from, a copy.
func (t *translation) base() (*specs.Spec, error) {
	if t.handler.BaseSpec == nil {
		return deepCopy(t.defaults), nil
	}
	s := deepCopy(t.handler.BaseSpec)
	if err := oci.WithoutRunMount(context.Background(), nil, nil, s); err != nil {
		return nil, err
	}
	if s.Process == nil {
		s.Process = &specs.Process{Cwd: "/"}
	}
	if s.Process.Capabilities == nil {
		s.Process.Capabilities = &specs.LinuxCapabilities{}
	}
	if s.Root == nil {
		s.Root = &specs.Root{}
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	return s, nil
}

// deepCopy copies a spec. Going over its values is several times faster than encoding
// and decoding it, and a field the next specification adds is copied too.
func deepCopy[T any](v *T) *T {
	out := new(T)
	copyValue(reflect.ValueOf(out).Elem(), reflect.ValueOf(v).Elem())
	return out
}

// copyValue sets dst, which is zero, to a copy of src. Specs are made of these kinds only;
// all fields are exported.
func copyValue(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Pointer:
		if !src.IsNil() {
			dst.Set(reflect.New(src.Type().Elem()))
			copyValue(dst.Elem(), src.Elem())
		}
	case reflect.Struct:
		for i := range src.NumField() {
			copyValue(dst.Field(i), src.Field(i))
		}
	case reflect.Slice:
		copySlice(dst, src)
	case reflect.Map:
		copyMap(dst, src)
	default:
		dst.Set(src)
	}
}

func copySlice(dst, src reflect.Value) {
	if src.IsNil() {
		return
	}
	dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
	switch src.Type().Elem().Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Map:
		for i := range src.Len() {
			copyValue(dst.Index(i), src.Index(i))
		}
	default:
		reflect.Copy(dst, src)
	}
}

func copyMap(dst, src reflect.Value) {
	if src.IsNil() {
		return
	}
	dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
	for it := src.MapRange(); it.Next(); {
		value := reflect.New(src.Type().Elem()).Elem()
		copyValue(value, it.Value())
		dst.SetMapIndex(it.Key(), value)
	}
}
