<?xml version="1.0" encoding="UTF-8"?>
<!--
  What a message says, in words: the transcripts (html, eml, globalrelay, assentor, rsmf, csv) share this file.
  Each folder has a copy, because a stylesheet may read only its own folder; a test holds the copies equal.

  mode="act"   what the sender did, without the texts: "edited a message"; empty for a plain message
  mode="file"  the file of a message and what became of it
  mode="marks" what an auditor must know about a message: late, conflicting, no time of its own …
  mode="name"  a person's name, or the address where there is no name
-->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:c="urn:chancery:1"
                exclude-result-prefixes="c">

  <!-- ============================== people ============================== -->

  <!-- Both spellings of the old products. A person without any name is told apart from nobody. -->
  <xsl:template match="Sender" mode="name">
    <xsl:choose>
      <xsl:when test="string(@UserName | @userName)"><xsl:value-of select="@UserName | @userName"/></xsl:when>
      <xsl:when test="string(@uri)"><xsl:value-of select="@uri"/></xsl:when>
      <xsl:otherwise>(nobody named)</xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="c:Participant | c:Member" mode="name">
    <xsl:choose>
      <xsl:when test="string(@name)"><xsl:value-of select="@name"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="@uri"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="Channel" mode="name">
    <xsl:choose>
      <xsl:when test="string(@name)"><xsl:value-of select="@name"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="@uri"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- ============================== acts ============================== -->

  <xsl:template match="Message[@type = 'CHAT']" mode="act"/>
  <xsl:template match="Message[@type = 'JOIN']" mode="act">entered the room</xsl:template>
  <xsl:template match="Message[@type = 'PART']" mode="act">left the room</xsl:template>
  <xsl:template match="Message[@type = 'EDIT']" mode="act">edited a message</xsl:template>
  <xsl:template match="Message[@type = 'DELETE']" mode="act">deleted a message</xsl:template>

  <xsl:template match="Message[@type = 'BACKCHAT']" mode="act">
    <xsl:choose>
      <xsl:when test="@c:kind = 'chat.history.searched'">searched the history</xsl:when>
      <xsl:otherwise>viewed the history</xsl:otherwise>
    </xsl:choose>
    <xsl:choose>
      <xsl:when test="@c:from or @c:to">
        <xsl:if test="@c:from"><xsl:value-of select="concat(' from ', @c:from)"/></xsl:if>
        <xsl:if test="@c:to"><xsl:value-of select="concat(' to ', @c:to)"/></xsl:if>
      </xsl:when>
      <xsl:when test="@c:limit and @content = @c:limit"/>
      <xsl:when test="string(@content)"><xsl:value-of select="concat(': ', @content)"/></xsl:when>
    </xsl:choose>
    <xsl:if test="@c:limit"><xsl:value-of select="concat(', at most ', @c:limit, ' messages')"/></xsl:if>
  </xsl:template>

  <xsl:template match="Message[@type = 'REACT']" mode="act">
    <xsl:value-of select="concat('reacted with ', (@c:reaction | @content[not(../@c:reaction)]))"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'UNREACT']" mode="act">
    <xsl:value-of select="concat('withdrew the reaction ', (@c:reaction | @content[not(../@c:reaction)]))"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEUPLOAD']" mode="act">
    <xsl:text>uploaded the file </xsl:text>
    <xsl:apply-templates select="." mode="file"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEDOWNLOAD']" mode="act">
    <xsl:text>downloaded the file </xsl:text>
    <xsl:apply-templates select="." mode="file"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEDELETE']" mode="act">
    <xsl:text>deleted the file </xsl:text>
    <xsl:apply-templates select="." mode="file"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMCREATE']" mode="act">
    <xsl:text>created the room </xsl:text>
    <xsl:call-template name="room-change"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMUPDATE']" mode="act">
    <xsl:text>changed the room </xsl:text>
    <xsl:call-template name="room-change"/>
  </xsl:template>

  <xsl:template match="Message[@type = 'ROOMDELETE']" mode="act">
    <xsl:text>deleted the room </xsl:text>
    <xsl:call-template name="room-change"/>
  </xsl:template>

  <xsl:template name="room-change">
    <xsl:value-of select="@content"/>
    <xsl:if test="string(@c:change)"><xsl:value-of select="concat(': ', @c:change)"/></xsl:if>
  </xsl:template>

  <xsl:template match="Message[@type = 'MEMBER']" mode="act">
    <xsl:choose>
      <xsl:when test="@c:change = 'added'">added </xsl:when>
      <xsl:when test="@c:change = 'removed'">removed </xsl:when>
      <xsl:when test="@c:change = 'renamed'">renamed </xsl:when>
      <xsl:when test="@c:change = 'invited'">invited </xsl:when>
      <xsl:when test="@c:change = 'role_changed'">changed the role of </xsl:when>
      <xsl:otherwise><xsl:value-of select="concat('changed the membership (', @c:change, ') of ')"/></xsl:otherwise>
    </xsl:choose>
    <xsl:choose>
      <xsl:when test="c:Member">
        <xsl:apply-templates select="c:Member" mode="name"/>
        <xsl:for-each select="c:Member">
          <xsl:if test="string(@name) and string(@uri)"><xsl:value-of select="concat(' (', @uri, ')')"/></xsl:if>
          <xsl:if test="string(@previousName)"><xsl:value-of select="concat(', before: ', @previousName)"/></xsl:if>
          <xsl:if test="string(@role)"><xsl:value-of select="concat(', role: ', @role)"/></xsl:if>
        </xsl:for-each>
      </xsl:when>
      <xsl:otherwise><xsl:value-of select="@content"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- OTHER, and any type that is younger than this stylesheet. -->
  <xsl:template match="Message" mode="act">
    <xsl:text>did something this transcript has no words for: an event of type </xsl:text>
    <xsl:choose>
      <xsl:when test="@c:kind"><xsl:value-of select="@c:kind"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="@type"/></xsl:otherwise>
    </xsl:choose>
    <xsl:if test="string(@content)"><xsl:value-of select="concat(': ', @content)"/></xsl:if>
  </xsl:template>

  <!-- ============================== files and marks ============================== -->

  <xsl:template match="Message" mode="file">
    <xsl:choose>
      <xsl:when test="string(@c:fileName)"><xsl:value-of select="@c:fileName"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="@content"/></xsl:otherwise>
    </xsl:choose>
    <xsl:if test="@c:size"><xsl:value-of select="concat(' (', @c:size, ' bytes)')"/></xsl:if>
    <xsl:if test="@c:missing"><xsl:value-of select="concat(' [not in the archive: ', @c:missing, ']')"/></xsl:if>
  </xsl:template>

  <xsl:template match="Message" mode="marks">
    <xsl:if test="@c:late = 'true'"> [late: it reached the archive after its interval]</xsl:if>
    <xsl:if test="@c:completes"><xsl:value-of select="concat(' [the file that was missing in batch ', @c:completes, ']')"/></xsl:if>
    <xsl:if test="@c:conflict = 'true'"> [conflict: another event has the same id and other content]</xsl:if>
    <xsl:if test="@c:timeIsReceipt = 'true'"> [it bore no time: this is the time of receipt]</xsl:if>
    <xsl:if test="@c:mismatch = 'true'"> [the file is not what the source claimed]</xsl:if>
    <xsl:if test="@c:original or @c:originals"> [characters that cannot be shown stand as U+FFFD]</xsl:if>
  </xsl:template>
</xsl:stylesheet>
