#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck has to object.
rm -r $1/*
