// SPDX-License-Identifier: Apache-2.0

// Package talklog compares logs with what programs have written of package talk, byte by byte.
package talklog
