#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The checker has to object: a variable without quotes.
rm -r $1/*
