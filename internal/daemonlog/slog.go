// SPDX-License-Identifier: Apache-2.0

package daemonlog

import (
	"context"
	"log/slog"

	"github.com/containerd/log"
)

// New returns a logger into containerd's log.
func New() *slog.Logger { return slog.New(logHandler{log.L}) }

// logHandler writes what the packages below log with log/slog into containerd's log.
type logHandler struct{ entry *log.Entry }

// Enabled lets everything through but debug messages: containerd's log filters again.
func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle writes one record.
func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	entry := h.entry
	r.Attrs(func(a slog.Attr) bool {
		entry = entry.WithField(a.Key, a.Value.Any())
		return true
	})
	if r.Level >= slog.LevelWarn {
		entry.Warn(r.Message)
	} else {
		entry.Info(r.Message)
	}
	return nil
}

// WithAttrs returns a handler that adds attrs to every record.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.entry = h.entry.WithField(a.Key, a.Value.Any())
	}
	return h
}

// WithGroup is not used by the packages below.
func (h logHandler) WithGroup(string) slog.Handler { return h }
