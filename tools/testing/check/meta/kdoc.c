// SPDX-License-Identifier: GPL-2.0-only
/**
 * meta_kdoc() - kernel-doc has to miss the second parameter.
 * @first: described
 *
 * Return: the sum.
 */
int meta_kdoc(int first, int second)
{
	return first + second;
}
