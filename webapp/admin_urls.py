"""The addresses of the admin, which are there once the `admin` modules of all apps are imported."""

from django.contrib import admin

admin.autodiscover()
urlpatterns = admin.site.urls[0]
