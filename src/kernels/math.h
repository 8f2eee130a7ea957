/* Functions of the C library's libm that set-up code needs, in fp64 and our own: a bit of a result never depends on
 * which libm runs. Plain multiplies and adds (never contracted), sqrt, floor and ldexp. For rotary tables and for
 * parameters derived once. */
#ifndef ALLOY_KERNELS_MATH_H
#define ALLOY_KERNELS_MATH_H

double alloy_exp64(double x);           /* error below 1 ulp */
double alloy_log64(double x);           /* error below 1 ulp */
double alloy_pow64(double x, double y); /* x > 0; relative error below 1e-15 for results from 1e-100 to 1e100 */

/* sin and cos of x, |x| <= 2^40; absolute error below 1e-15 for |x| <= 2^20. */
void alloy_sin_cos64(double x, double *sin, double *cos);

#endif
