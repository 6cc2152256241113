// SPDX-License-Identifier: Apache-2.0

// Package nsdial connects from inside another network namespace.
package nsdial
