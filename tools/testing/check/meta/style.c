// SPDX-License-Identifier: GPL-2.0-only
/* checkpatch has to find fault with this. */
int badStyle( int a ){
    if(a == 1) {
        return 2;
    }
    return(0);
}
