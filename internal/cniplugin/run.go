// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/containerd/log"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/kernel"
)

// run does what a plugin's program would. The result, of ADD only, has the configuration's version.
// ErrDeclined, a *types.Error or the error of a ctx that has ended.
func (s *Set) run(ctx context.Context, name, verb string, c *Call) (types.Result, error) {
	p, ok := s.plugins[name]
	if !ok {
		return nil, unknown(name)
	}
	configured, err := admit(verb, c, p)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ended(ctx, name)
	}
	result, err := dispatch(ctx, p, name, verb, c)
	if err != nil {
		return nil, said(ctx, name, err)
	}
	if verb != verbAdd {
		return nil, nil
	}
	if result == nil {
		return nil, types.NewError(types.ErrInternal, fmt.Sprintf("plugin %s gave no result", name), "")
	}
	if result, err = result.GetAsVersion(configured); err != nil {
		return nil, types.NewError(types.ErrInternal, err.Error(), "")
	}
	return result, nil
}

// dispatch calls one of the plugin's methods. A panic is the plugin's failure and not the daemon's.
func dispatch(ctx context.Context, p Plugin, name, verb string, c *Call) (result types.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, panicked(ctx, name, verb, r)
		}
	}()
	switch verb {
	case verbAdd:
		return p.Add(ctx, c)
	case verbDel:
		return nil, p.Del(ctx, c)
	case verbCheck:
		return nil, p.Check(ctx, c)
	case verbStatus:
		return nil, p.Status(ctx, c)
	}
	return nil, p.GC(ctx, c)
}

// panicked logs where, which is not the client's concern.
func panicked(ctx context.Context, name, verb string, value any) error {
	stack := debug.Stack()
	if p, ok := value.(*kernel.Panic); ok { // on a thread of its own
		value, stack = p.Value, p.Stack
	}
	log.G(ctx).WithField("plugin", name).WithField("stack", string(stack)).Errorf("cni: %s has panicked: %v", verb, value)
	return types.NewError(types.ErrInternal, fmt.Sprintf("plugin %s has panicked: %v", name, value), "")
}

// said is what reaches the client of a plugin's error.
func said(ctx context.Context, name string, err error) error {
	if errors.Is(err, ErrDeclined) {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return ended(ctx, name)
	}
	if e := (*types.Error)(nil); errors.As(err, &e) {
		return e
	}
	return types.NewError(types.ErrInternal, err.Error(), "")
}

func ended(ctx context.Context, name string) error {
	return fmt.Errorf("plugin %s did not finish: %w", name, ctx.Err())
}
