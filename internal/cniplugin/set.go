// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// Set calls the plugins it has and executes all others. It implements invoke.Exec.
type Set struct {
	version.PluginDecoder
	plugins  map[string]Plugin
	binaries invoke.Exec
}

var _ invoke.Exec = (*Set)(nil)

// scheme begins what FindInPath returns for a plugin of the set.
const scheme = "inside:"

// NewSet makes a Set of plugins by type. binaries executes what is not among them.
func NewSet(plugins map[string]Plugin, binaries invoke.Exec) *Set {
	return &Set{plugins: plugins, binaries: binaries}
}

// FindInPath implements invoke.Exec.
func (s *Set) FindInPath(plugin string, dirs []string) (string, error) {
	if s.Has(plugin) {
		return scheme + plugin, nil
	}
	return s.binaries.FindInPath(plugin, dirs)
}

// ExecPlugin implements invoke.Exec. Errors of plugins of the set are *types.Error, as their program would print,
// or those of a ctx that has ended.
func (s *Set) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	name, inside := strings.CutPrefix(path, scheme)
	if !inside {
		return s.binaries.ExecPlugin(ctx, path, stdin, environ)
	}
	verb, c := parse(environ)
	c.Config, c.set = stdin, s
	if verb == verbVersion {
		return s.describe(name)
	}
	result, err := s.run(ctx, name, verb, c)
	if errors.Is(err, ErrDeclined) {
		path, err := s.program(name, c.Path, err)
		if err != nil {
			return nil, err
		}
		return s.binaries.ExecPlugin(ctx, path, stdin, environ)
	}
	if err != nil || result == nil {
		return nil, err
	}
	return json.Marshal(result)
}

// Has reports whether a type is not executed.
func (s *Set) Has(plugin string) bool {
	_, ok := s.plugins[plugin]
	return ok
}

// Add is ADD of a plugin, inside or not, without the environment and the encoding that libcni puts between. The result has the version
// of c.Config.
func (s *Set) Add(ctx context.Context, plugin string, c Call) (types.Result, error) {
	c.set = s
	return c.DelegateAdd(ctx, plugin)
}

// Del is DEL of a plugin, inside or not.
func (s *Set) Del(ctx context.Context, plugin string, c Call) error {
	c.set = s
	return c.DelegateDel(ctx, plugin)
}

// Status is STATUS of a plugin, inside or not. Those inside are asked whatever version config has: what their ADD would
// refuse is better known before. path has the directories of programs.
func (s *Set) Status(ctx context.Context, plugin string, config []byte, path []string) error {
	c := &Call{Path: strings.Join(path, string(filepath.ListSeparator)), Config: config, set: s, early: true}
	return c.status(ctx, plugin)
}

// describe answers VERSION.
func (s *Set) describe(name string) ([]byte, error) {
	p, ok := s.plugins[name]
	if !ok {
		return nil, unknown(name)
	}
	var text bytes.Buffer
	err := versionsOf(p).Encode(&text)
	return text.Bytes(), err
}

// program finds what does instead a configuration that the plugin of the set has declined.
func (s *Set) program(name, path string, declined error) (string, error) {
	found, err := s.binaries.FindInPath(name, filepath.SplitList(path))
	if err != nil {
		return "", types.NewError(types.ErrUnsupportedField, fmt.Sprintf("plugin %s: %v, and there is no program: %v", name, declined, err), "")
	}
	return found, nil
}

func unknown(name string) error {
	return types.NewError(types.ErrInternal, fmt.Sprintf("no plugin %q inside the daemon", name), "")
}
