// SPDX-License-Identifier: Apache-2.0

// Package daemonlog passes what is logged with log/slog to containerd's log.
package daemonlog
