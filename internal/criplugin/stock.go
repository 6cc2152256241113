// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"io"
	"reflect"

	"github.com/containerd/plugin"

	"github.com/sardine-run/sardine/internal/crirouter"
)

// stockServer is containerd's CRI server as far as it is used.
type stockServer interface {
	crirouter.Stock
	io.Closer
}

// stockContext is for containerd's CRI server: the same configuration, but a streaming server at another port than
// ours.
func (b *builder) stockContext() *plugin.InitContext {
	ic := *b.ic
	config := reflect.New(reflect.TypeOf(ic.Config).Elem())
	config.Elem().Set(reflect.ValueOf(ic.Config).Elem())
	config.Elem().FieldByName("StreamServerPort").SetString("0")
	ic.Config = config.Interface()
	return &ic
}
