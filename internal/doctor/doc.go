// SPDX-License-Identifier: Apache-2.0

// Package doctor examines a node for what sardined needs and what it can make use of, and
// says for each what is lost without it and how to get it.
//
// It looks and tries; it changes nothing that stays. Without root it finds less and says so.
package doctor
