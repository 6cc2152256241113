// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"context"
	"fmt"
	"time"
)

// undoTime bounds what is undone of an ADD that failed, whose context may have ended.
const undoTime = 10 * time.Second

// Undo is what an ADD has done, the way back.
type Undo struct{ steps []func(context.Context) error }

// Add has f called when the ADD fails, before what was added earlier.
func (u *Undo) Add(f func(context.Context) error) { u.steps = append(u.steps, f) }

// Run undoes, the last thing first, all of it whatever fails. It returns why, with what could not be undone.
func (u *Undo) Run(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	for i := len(u.steps) - 1; i >= 0; i-- {
		if err := u.steps[i](ctx); err != nil {
			why = fmt.Errorf("%w (and not all of it was undone: %v)", why, err) //nolint:errorlint // only the first one is the cause
		}
	}
	return why
}
